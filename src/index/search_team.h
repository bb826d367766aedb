/*
 * Threads that help one search at a time. A search that finds the team busy goes on alone: at low load one
 * search uses all cores, at high load every search uses its own, and nothing has to be told which it is.
 *
 * Threading: internally locked. Lock order: a leaf.
 */
#ifndef FRT_INDEX_SEARCH_TEAM_H
#define FRT_INDEX_SEARCH_TEAM_H

#include "core/status.h"

struct frt_search_team;

/** The team of the process, with at least `helpers` threads beside the caller where the machine gives them;
 * made by the first, joined when the last reference goes. NULL when no thread can be started. */
struct frt_search_team *frt_search_team_retain(uint32_t helpers);
void frt_search_team_release(struct frt_search_team *team);

/**
 * Run work(arg, 0) here and, if the team is free, work(arg, 1..) on up to `helpers` of its threads at the same
 * time; returns when all that began have returned. team may be NULL.
 */
void frt_search_team_run(struct frt_search_team *team, uint32_t helpers,
                         void (*work)(void *arg, uint32_t worker), void *arg);

#endif
