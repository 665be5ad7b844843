/* From a device's name to its backend. */
#ifndef TKG_DEVICE_H
#define TKG_DEVICE_H

#include "backend.h"

enum { TKG_NOTE = 256 };
/* Finds the backend of a device. "cpu" is built in; "cuda", "cuda:N" and "emu" are libraries beside
 * this one, loaded here; "auto" is "cuda" if that opens, else "cpu", and `note` says why. `place`:
 * number of this process among those of a run on this machine, each of which takes a GPU of its own
 * where the name has no number. Returns
 * TKG_E_DEVICE if the device cannot be opened, TKG_E_ARGUMENT for another name. */
int tkg__device_open(const char *name, int place, const tkg_backend **out, char note[TKG_NOTE]);

/* For an allocation that failed with `status`, already said: where the device is lost, which is
 * why, says that instead and returns TKG_E_DEVICE. */
int tkg__no_memory_or_lost(const tkg_backend *backend, int status);

/* Copies the message of a failed call from a backend in another library to tkg_error(); returns the
 * status of the call. */
int tkg__keep_backend_message(const tkg_backend *backend, int status);

#endif
