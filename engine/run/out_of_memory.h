#ifndef TKG_OUT_OF_MEMORY_H
#define TKG_OUT_OF_MEMORY_H

#include "step.h"

/* Returns TKG_E_MEMORY, with a message that says what takes most of a step's memory and what it
 * would take at fewer bits: the step is planned again for each width, which takes milliseconds. */
int tkg__step_too_large(tkg_step *step, const tkg_tape *tape, const tkg_request *request);

#endif
