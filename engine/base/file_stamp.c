#include "file_stamp.h"

#include <string.h>
#include <sys/stat.h>

#include "error.h"

int tkg_file_stamp(const char *path, double stamp[TKG_FILE_STAMP]) {
  TKG__NEEDS(path && stamp, 0);
  struct stat s;
  if (stat(path, &s) || !S_ISREG(s.st_mode)) return 0;
  const double values[TKG_FILE_STAMP] = {(double)s.st_size,         (double)s.st_mtim.tv_sec,
                                         (double)s.st_mtim.tv_nsec, (double)s.st_ctim.tv_sec,
                                         (double)s.st_ctim.tv_nsec, (double)s.st_ino,
                                         (double)s.st_dev,          (double)s.st_uid};
  memcpy(stamp, values, sizeof values);
  return 1;
}
