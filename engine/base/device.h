/* From a device's name to its backend. */
#ifndef TKG_DEVICE_H
#define TKG_DEVICE_H

#include "backend.h"

/* "cpu" is built in; "cuda", "cuda:N" and "emu" are libraries beside this one, loaded here; "auto"
 * is "cuda" where that opens, else "cpu", and `note` says why. TKG_E_DEVICE, TKG_E_ARGUMENT. */
enum { TKG_NOTE = 256 };
int tkg__device_open(const char *name, const tkg_backend **out, char note[TKG_NOTE]);

/* Copies the message of a failed call from a backend in another library to tkg_error(). Returns the
 * status. */
int tkg__keep_backend_message(const tkg_backend *backend, int status);

#endif
