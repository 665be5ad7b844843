/* Ids that are computed twice from the same ids. */
#ifndef TKG_SHARE_IDS_H
#define TKG_SHARE_IDS_H

#include "program.h"

/* Lets all readers of equal int32 nodes read the first, within forward and within backward each:
 * what backward makes again is not kept for it. Runs on forward alone before backward is appended,
 * so that ids which it reads are kept once, and on both at the end. Errors: no memory. */
int tkg__share_ids(tkg_program *p);

#endif
