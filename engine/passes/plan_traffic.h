/* What the ops of a plan move through memory, what they cannot do without moving, and how many
 * pieces of work they queue on the device. */
#ifndef TKG_PLAN_TRAFFIC_H
#define TKG_PLAN_TRAFFIC_H

#include "program.h"
#include "tinykg.h"

/* The row of what groups of ops that run in tiles queue together, behind those of the ops. */
enum { TKG_TRAFFIC_TILES = TKG_OP_COUNT };

/* Fills a row per op and that of tiles. Errors: no memory. */
int tkg__plan_traffic(const tkg_program *p, tkg_moved rows[TKG_OP_COUNT + 1]);

#endif
