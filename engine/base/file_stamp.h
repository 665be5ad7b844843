/* What tells whether a file has changed. */
#ifndef TKG_FILE_STAMP_H
#define TKG_FILE_STAMP_H

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
enum { TKG_FILE_STAMP = 8 };

/* Writes of a plain file: bytes; seconds and nanoseconds of its last change, then of the last
 * change of its inode, which no program can set back; inode, device, owner. Returns 1; 0 if there
 * is no such file. */
int tkg_file_stamp(const char *path, double stamp[TKG_FILE_STAMP]);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
