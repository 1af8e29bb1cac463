# hysock: library, header, examples, tests. README.md says more.
#
#   make            build/libhysock.so, build/libhysock.a, examples-c/bin/*, examples-cpp/bin/*
#   make demo       set up, build, run a daemon and call it
#   make test       set up, build, run every test
#   make test-daemons   the client against dockerd, cupsd, snapd and supervisord, as root
#   make examples   the example programs only
#   make bench      hysock and its peers side by side (bench-quick: under 3 minutes); see bench/
#   make header     write include/hysock.h from src/ffi
#   make install    PREFIX=/usr/local LIBDIR=$(PREFIX)/lib INCLUDEDIR=$(PREFIX)/include DESTDIR=
#   make uninstall  with the same variables
#   make fmt lint   format everything; check format, clippy, C and C++ style
#   make clean

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR ?=

CARGO ?= cargo
CARGOFLAGS ?=
PYTEST = .venv/bin/python -m pytest
OBJCOPY ?= objcopy
INSTALL ?= install
CLANG_FORMAT ?= clang-format

# Everything about the version comes from Cargo.toml.
VERSION := $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
MAJOR := $(word 1,$(subst ., ,$(VERSION)))
MINOR := $(word 2,$(subst ., ,$(VERSION)))
# In 0.x each minor version may break the ABI, from 1.0 each major one.
ABI := $(if $(filter 0,$(MAJOR)),0.$(MINOR),$(MAJOR))
ifeq ($(VERSION),)
$(error no version in Cargo.toml)
endif

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
DIST := $(TARGET_DIR)/dist
NATIVE := $(DIST)/native-static-libs.txt
REAL := build/libhysock.so.$(VERSION)
SONAME := libhysock.so.$(ABI)

SOURCES := $(shell find src -name '*.rs') build.rs cbindgen.toml Cargo.toml $(wildcard Cargo.lock) \
           include/hysock.h
C_FILES = $(wildcard go/*.h examples-c/*.[ch] tests/*/*.[ch] include/*.hpp include/hysock/*.hpp \
          examples-cpp/*.cpp tests/*/*.[ch]pp bench/*.[ch] bench/*/*.[ch])

.DELETE_ON_ERROR:
.PHONY: all lib examples header demo test setup lint fmt install uninstall clean \
        test-rust test-c test-cpp test-python test-daemons test-flood bench bench-quick

all: lib examples

lib: $(REAL) build/libhysock.a

# The crate types are given here and not in Cargo.toml: beside an rlib LTO would be off in silence.
# The link arguments are given here: from build.rs every plain build would warn about them.
# nodelete: the library has threads, dlclose must not unmap their code.
# The inline threshold: docs/decisions.md.
$(REAL): $(SOURCES) Makefile
	$(CARGO) rustc $(CARGOFLAGS) --target-dir $(TARGET_DIR) --lib --profile dist --features header \
	    --crate-type cdylib,staticlib -- --print=native-static-libs=$(NATIVE) \
	    -C llvm-args=-inline-threshold=600 \
	    -C link-arg=-Wl,-soname,$(SONAME) -C link-arg=-Wl,-z,nodelete
	mkdir -p build
	rm -f build/libhysock.so*
	cp $(DIST)/libhysock.so $@
	ln -s $(notdir $@) build/$(SONAME)
	ln -s $(SONAME) build/libhysock.so

# One object in which all is local but the API: a second Rust library in the same program would
# otherwise bring the same symbols of the Rust runtime. Its groups are dissolved, since the linker
# drops a group that it has seen under the same name, whatever refers to it.
build/libhysock.a: $(REAL) scripts/archive
	scripts/archive $(DIST)/libhysock.a $(REAL) $@

examples: lib
	$(MAKE) -C examples-c
	$(MAKE) -C examples-cpp

header:
	HYSOCK_WRITE_HEADER=1 $(CARGO) check $(CARGOFLAGS) --target-dir $(TARGET_DIR) --lib \
	    --features header

setup:
	@scripts/setup

demo: setup
	@$(MAKE) --no-print-directory all
	@scripts/demo

test: setup
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-python

# Not in `make test`: they take root, room on the disk and rights that a container may not have. What
# is missing, and what a daemon says that cannot start, is a failure.
test-daemons:
	@test "$$(id -u)" = 0 || { echo 'test-daemons: these daemons are started as root' >&2; exit 1; }
	@scripts/setup daemons
	@$(MAKE) --no-print-directory all
	$(PYTEST) tests/interop/daemons_heavy.py

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy $(CARGOFLAGS) --target-dir $(TARGET_DIR) --all-targets --features header -- \
	    -D warnings -D clippy::incompatible_msrv
	$(if $(C_FILES),$(CLANG_FORMAT) --dry-run -Werror $(C_FILES))

fmt:
	$(CARGO) fmt
	$(if $(C_FILES),$(CLANG_FORMAT) -i $(C_FILES))

test-rust:
	$(CARGO) test $(CARGOFLAGS) --target-dir $(TARGET_DIR) --features header

# The C programs alone: plain, with sanitizers, under valgrind. The suite below has them too.
test-c: lib
	$(MAKE) -C tests/c test

# The C++ face and its programs alone. The suite below has them too.
test-cpp: all
	$(PYTEST) tests/cpp

# The C programs under sanitizers and valgrind beside the rest: much of both is waiting.
CHECKED = valgrind or asan
test-python: all
	$(MAKE) -C tests/c
	@$(PYTEST) tests/c -k '$(CHECKED)' >build/test-c.log 2>&1 & c=$$!; \
	$(PYTEST) tests --ignore=tests/c; rest=$$?; \
	$(PYTEST) tests/c -k 'not ($(CHECKED))'; plain=$$?; \
	wait $$c; c=$$?; cat build/test-c.log; test $$rest = 0 && test $$plain = 0 && test $$c = 0

# The two floods of the message half in full size: 100 producers, 100,000 messages each.
test-flood: all
	HYSOCK_FLOOD=1 $(PYTEST) tests/interop/test_message_faults.py -k '100_producers or stopped_10_s'

bench bench-quick:
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	$(MAKE) -j 2 -C bench GO=$(CURDIR)/.venv/bin/go CARGO=$(CARGO)
	.venv/bin/python bench/run.py $(if $(filter bench-quick,$@),--quick) $(BENCH)

# Installing needs no cargo: run `make` first, as yourself.
install: lib
	scripts/install-tree install '$(VERSION)' '$(ABI)' '$(PREFIX)' '$(LIBDIR)' '$(INCLUDEDIR)' \
	    '$(DESTDIR)' '$(NATIVE)'

uninstall:
	scripts/install-tree uninstall '$(VERSION)' '$(ABI)' '$(PREFIX)' '$(LIBDIR)' '$(INCLUDEDIR)' \
	    '$(DESTDIR)' '$(NATIVE)'

clean:
	$(CARGO) clean --target-dir $(TARGET_DIR)
	rm -rf build examples-c/bin examples-cpp/bin tests/c/bin tests/cpp/bin bench/bin
