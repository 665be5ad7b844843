#ifndef TKG_RECORD_NEIGHBORHOODS_H
#define TKG_RECORD_NEIGHBORHOODS_H

#include "rows.h"

/* Begins the new tape with the neighborhoods of the rows that are gathered. */
int tkg__record_neighborhoods(rows *z);

#endif
