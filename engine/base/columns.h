/* Reading and writing tensors of which each rank has some columns. */
#ifndef TKG_COLUMNS_H
#define TKG_COLUMNS_H

#include "tensor.h"

/* Elements first..first+count-1 of the whole, from or to host memory. All ranks call them, with the
 * same numbers to write. Statuses. */
int tkg__read_columns(const tkg_tensor *tensor, float *to, int64_t first, int64_t count);
int tkg__write_columns(tkg_tensor *tensor, const float *from, int64_t first, int64_t count);

#endif
