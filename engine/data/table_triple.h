/* Splits lines of N-Triples: https://www.w3.org/TR/n-triples/ */
#ifndef TKG_TABLE_TRIPLE_H
#define TKG_TABLE_TRIPLE_H

#include "table_split.h"

/* As tkg__split. The fields are the terms of the line: IRIs without <>, the text of literals
 * without language and type, blank nodes as they are. */
int tkg__split_triple(tkg__field *field, int most, char *line, size_t length);

#endif
