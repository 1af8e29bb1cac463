/* Teaches: hysock in a GLib main loop, as GTK programs and many desktop services have one.
 *
 *   loop_glib SOCKET        serves on SOCKET, and calls itself once through it
 */
#define _POSIX_C_SOURCE 200809L
#include "loop.h"
#include <glib-unix.h>
#include <signal.h>

struct program {
    struct loop loop;
    GMainLoop *main;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer argument) {
    struct program *p = argument;
    (void)fd;
    (void)condition;
    if (!loop_dispatch(&p->loop))
        return G_SOURCE_CONTINUE;
    g_main_loop_quit(p->main);
    return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer argument) {
    struct program *p = argument;
    loop_shutdown(&p->loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv) {
    struct program p;

    loop_open(&p.loop, "loop_glib", argc, argv);
    p.main = g_main_loop_new(NULL, FALSE);
    g_unix_fd_add(hysock_queue_fd(p.loop.queue), G_IO_IN, on_readable, &p);
    guint term = g_unix_signal_add(SIGTERM, on_signal, &p);
    guint interrupt = g_unix_signal_add(SIGINT, on_signal, &p);
    loop_ready(&p.loop);

    g_main_loop_run(p.main);

    g_source_remove(term);
    g_source_remove(interrupt);
    g_main_loop_unref(p.main);
    return loop_close(&p.loop);
}
