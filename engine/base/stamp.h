/* What a backend in a library of its own and the engine must agree on, as one number. */
#ifndef TKG_STAMP_H
#define TKG_STAMP_H

#include <stdint.h>

/* Of the op table and of the layout of what is handed over. Both libraries have a copy of this
 * function: they differ where they were compiled from other sources. */
uint64_t tkg__interface_stamp(void);

#endif
