/* What the machine can do: start COUNT processes with posix_spawn, PARALLEL at a time, nothing recorded, nothing decided.

   limit COUNT PARALLEL DIRECTORY PROGRAM ARGUMENT...

   With a DIRECTORY other than "-" each process prints into a new file of its own there. Printed: seconds, and this program's own CPU
   seconds (user and system, without its children's). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double seconds(struct timeval value) { return value.tv_sec + value.tv_usec / 1e6; }

int main(int count, char **words) {
    if (count < 5) return 2;
    int todo = atoi(words[1]), parallel = atoi(words[2]), live = 0, number = 0;
    double began = clock_seconds();
    while (todo || live) {
        while (todo && live < parallel) {
            posix_spawn_file_actions_t actions;
            posix_spawn_file_actions_init(&actions);
            if (strcmp(words[3], "-")) {
                char path[4096];
                snprintf(path, sizeof path, "%s/%d", words[3], number);
                posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
                posix_spawn_file_actions_adddup2(&actions, 1, 2);
            }
            pid_t pid;
            if (posix_spawn(&pid, words[4], &actions, NULL, words + 4, environ)) return 1;
            posix_spawn_file_actions_destroy(&actions);
            todo--, live++, number++;
        }
        int status;
        if (wait(&status) < 0 || status) return 1;
        live--;
    }
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    printf("%.6f %.6f\n", clock_seconds() - began, seconds(own.ru_utime) + seconds(own.ru_stime));
    return 0;
}
