"""`make install` into a staged tree, and what people build against it."""

import os
import shutil
import tomllib

import pytest
from conftest import ROOT, run, tool

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
MAJOR, MINOR, _ = VERSION.split(".")
ABI = f"0.{MINOR}" if MAJOR == "0" else MAJOR
PROGRAM = ROOT / "tests" / "header" / "version.c"
EXAMPLE = ROOT / "examples-c" / "request.c"
EXAMPLES_CPP = {"hello_client": "c++17", "coroutines": "c++20"}
CPP_HEADERS = sorted((ROOT / "include" / "hysock").glob("*.hpp"))
PREFIX = "/opt/hysock"
# Not those of a make that runs the tests.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "MFLAGS", "PKG_CONFIG", "LD_", "DESTDIR", "PREFIX"))
}


def done_well(*argv, timeout=120, **options):
    done = run(*argv, timeout=timeout, **{"env": ENVIRONMENT, **options})
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def make(target, root, **variables):
    arguments = [f"{name}={value}" for name, value in {"PREFIX": PREFIX, **variables}.items()]
    return done_well(tool("make"), "-C", ROOT, target, f"DESTDIR={root}", *arguments, timeout=600)


def files(root):
    found = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(str(path.relative_to(root)) for path in found)


def installed(lib="lib", include="include", prefix=PREFIX):
    return sorted(
        f"{prefix[1:]}/{name}"
        for name in [
            f"{include}/hysock.h",
            f"{include}/hysock.hpp",
            *[f"{include}/hysock/{path.name}" for path in CPP_HEADERS],
            f"{lib}/libhysock.a",
            f"{lib}/libhysock.so",
            f"{lib}/libhysock.so.{ABI}",
            f"{lib}/libhysock.so.{VERSION}",
            f"{lib}/pkgconfig/hysock.pc",
            f"{lib}/cmake/hysock/hysockConfig.cmake",
            f"{lib}/cmake/hysock/hysockConfigVersion.cmake",
        ]
    )


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    root = tmp_path_factory.mktemp("staged")
    make("install", root)
    return root


def pkg_config(root, *arguments, libdir=f"{PREFIX}/lib"):
    environment = {
        **ENVIRONMENT,
        "PKG_CONFIG_LIBDIR": f"{root}{libdir}/pkgconfig",
        "PKG_CONFIG_SYSROOT_DIR": str(root),
    }
    return done_well(tool("pkg-config"), *arguments, "hysock", env=environment).split()


def compile_c(source, program, *arguments):
    done_well(
        tool("gcc"), "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
        source, "-o", program, *arguments,
    )  # fmt: skip


def compile_cpp(name, standard, program, *arguments):
    done_well(
        tool("g++"), f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
        ROOT / "examples-cpp" / f"{name}.cpp", "-o", program, *arguments,
    )  # fmt: skip


def needed(program):
    text = done_well(tool("readelf"), "-dW", program)
    return [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]


def test_what_is_installed(staged):
    assert files(staged) == installed()
    lib = staged / PREFIX[1:] / "lib"
    assert os.readlink(lib / "libhysock.so") == f"libhysock.so.{ABI}"
    assert os.readlink(lib / f"libhysock.so.{ABI}") == f"libhysock.so.{VERSION}"
    include = staged / PREFIX[1:] / "include"
    assert CPP_HEADERS
    for path in [ROOT / "include" / "hysock.h", ROOT / "include" / "hysock.hpp", *CPP_HEADERS]:
        name = path.relative_to(ROOT / "include")
        assert (include / name).read_bytes() == path.read_bytes()
    for path in lib.rglob("hysock*.*"):
        assert str(staged) not in path.read_text(), f"{path} names the staging folder"
        assert str(ROOT) not in path.read_text(), f"{path} names the source folder"


def test_pkg_config_says_the_version(staged):
    assert pkg_config(staged, "--modversion") == [VERSION]
    assert pkg_config(staged, "--cflags") == [f"-I{staged}{PREFIX}/include"]
    assert pkg_config(staged, "--libs") == [f"-L{staged}{PREFIX}/lib", "-lhysock"]


def test_pkg_config_shared(staged, tmp_path):
    lib = staged / PREFIX[1:] / "lib"
    flags = pkg_config(staged, "--cflags", "--libs")
    for source in [PROGRAM, EXAMPLE]:
        program = tmp_path / source.stem
        compile_c(source, program, *flags)
        assert f"libhysock.so.{ABI}" in needed(program)
    environment = {**ENVIRONMENT, "LD_LIBRARY_PATH": str(lib)}
    assert done_well(tmp_path / "version", env=environment) == f"hysock {VERSION}\n"
    done = run(tmp_path / "request", tmp_path / "absent.sock", "/", env=environment)
    assert done.returncode == 1
    assert "absent.sock" in done.stderr


def test_pkg_config_cpp(staged, tmp_path):
    environment = {**ENVIRONMENT, "LD_LIBRARY_PATH": str(staged / PREFIX[1:] / "lib")}
    for name, standard in EXAMPLES_CPP.items():
        program = tmp_path / name
        compile_cpp(name, standard, program, *pkg_config(staged, "--cflags", "--libs"))
        assert f"libhysock.so.{ABI}" in needed(program)
    done = run(tmp_path / "hello_client", tmp_path / "absent.sock", env=environment)
    assert done.returncode == 1
    assert "absent.sock" in done.stderr


def test_pkg_config_static(staged, tmp_path):
    flags = pkg_config(staged, "--cflags", "--libs", "--static")
    flags = ["-Wl,-Bstatic" + ",-lhysock,-Bdynamic" if f == "-lhysock" else f for f in flags]
    for source in [PROGRAM, EXAMPLE]:
        program = tmp_path / source.stem
        compile_c(source, program, *flags)
        assert not [name for name in needed(program) if "hysock" in name]
    assert done_well(tmp_path / "version") == f"hysock {VERSION}\n"


def test_pkg_config_fully_static(staged, tmp_path):
    program = tmp_path / "version"
    compile_c(PROGRAM, program, "-static", *pkg_config(staged, "--cflags", "--libs", "--static"))
    assert needed(program) == []
    assert done_well(program) == f"hysock {VERSION}\n"


CMAKE = """
cmake_minimum_required(VERSION 3.13)
project(use LANGUAGES C CXX)
find_package(hysock {version} REQUIRED CONFIG)
add_executable(shared {program})
target_link_libraries(shared PRIVATE hysock::hysock)
add_executable(static {program})
target_link_libraries(static PRIVATE hysock::static)
configure_file({program} version.cpp COPYONLY)
file(APPEND ${{CMAKE_CURRENT_BINARY_DIR}}/version.cpp "#include <hysock.hpp>\n")
add_executable(cpp ${{CMAKE_CURRENT_BINARY_DIR}}/version.cpp)
set_target_properties(cpp PROPERTIES CXX_STANDARD 17)
target_link_libraries(cpp PRIVATE hysock::hysock)
message(STATUS "hysock is ${{hysock_VERSION}}")
"""


def cmake(root, folder, version, libdir=f"{PREFIX}/lib"):
    """Configures; the result may be a failure."""
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(CMAKE.format(version=version, program=PROGRAM))
    return run(
        tool("cmake"), "-S", folder, "-B", folder / "build",
        f"-Dhysock_DIR={root}{libdir}/cmake/hysock", timeout=120, env=ENVIRONMENT,
    )  # fmt: skip


def test_cmake(staged, tmp_path):
    done = cmake(staged, tmp_path / "use", f"{MAJOR}.{MINOR}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"hysock is {VERSION}\n" in done.stdout
    build = tmp_path / "use" / "build"
    done_well(tool("cmake"), "--build", build)
    for name in ["shared", "static", "cpp"]:
        assert done_well(build / name) == f"hysock {VERSION}\n"
    assert f"libhysock.so.{ABI}" in needed(build / "shared")
    assert not [name for name in needed(build / "static") if "hysock" in name]


def test_cmake_finds_it_by_prefix(staged, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(CMAKE.format(version="", program=PROGRAM))
    done_well(
        tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build",
        f"-DCMAKE_PREFIX_PATH={staged}{PREFIX}",
    )  # fmt: skip


@pytest.mark.parametrize("version", [f"{MAJOR}.{int(MINOR) + 1}", f"{int(MAJOR) + 1}.0", "99"])
def test_cmake_refuses_another_version(staged, tmp_path, version):
    done = cmake(staged, tmp_path / "use", version)
    assert done.returncode != 0
    assert "compatible with requested version" in " ".join(done.stderr.split())
    assert f"version: {VERSION}" in done.stderr


def test_cmake_notices_a_broken_installation(staged, tmp_path):
    shutil.copytree(staged, tmp_path / "root", symlinks=True)
    (tmp_path / "root" / PREFIX[1:] / "include" / "hysock.h").unlink()
    done = cmake(tmp_path / "root", tmp_path / "use", "")
    assert done.returncode != 0
    assert "hysock.h is missing" in " ".join(done.stderr.split())


def test_other_folders(tmp_path):
    """As distributions install: a multi-arch library folder, headers of their own."""
    root = tmp_path / "root"
    libdir = "/usr/lib/x86_64-linux-gnu"
    make("install", root, PREFIX="/usr", LIBDIR=libdir, INCLUDEDIR="/usr/include/hysock")
    wanted = installed("lib/x86_64-linux-gnu", "include/hysock", "/usr")
    assert files(root) == wanted
    flags = pkg_config(root, "--cflags", "--libs", libdir=libdir)
    compile_c(PROGRAM, tmp_path / "version", *flags)
    compile_cpp("hello_client", "c++17", tmp_path / "hello_client", *flags)
    done = cmake(root, tmp_path / "use", "", libdir=libdir)
    assert done.returncode == 0, done.stdout + done.stderr
    done_well(tool("cmake"), "--build", tmp_path / "use" / "build")


def test_uninstall_leaves_what_is_not_ours(tmp_path):
    make("install", tmp_path)
    other = tmp_path / PREFIX[1:] / "lib" / "pkgconfig" / "other.pc"
    other.write_text("")
    make("uninstall", tmp_path)
    assert files(tmp_path) == [str(other.relative_to(tmp_path))]
    assert not (tmp_path / PREFIX[1:] / "lib" / "cmake" / "hysock").exists()
    make("uninstall", tmp_path)  # a second time there is nothing to do


def test_relative_prefix_is_refused(tmp_path):
    done = run(
        tool("make"), "-C", ROOT, "install", f"DESTDIR={tmp_path}/", "PREFIX=usr",
        timeout=600, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode != 0
    assert "not an absolute path" in done.stderr
    assert files(tmp_path) == []
