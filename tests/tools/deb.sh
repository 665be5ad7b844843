#!/bin/sh
# Makes a Debian package of what is built: OUT/tinykg_VERSION-0local1_ARCH.deb. `make deb` calls it.
# Environment: BUILD; OUT (BUILD); VERSION; MAKE; LINTIAN=no; DEBFULLNAME and DEBEMAIL, as for
# Debian's tools, name the maintainer, by default the author of the last commit.
#
# The library is not in the path of shared libraries: tinykg finds its own, and programs in C are
# linked by the flags of pkg-config, which name the folder for run time too.
set -eu
BUILD=${BUILD:-build} OUT=${OUT:-${BUILD:-build}} MAKE=${MAKE:-make}
who="${DEBFULLNAME:-$(git log -1 --format=%an 2>/dev/null)} <${DEBEMAIL:-$(git log -1 --format=%ae \
  2>/dev/null)}>" || { echo 'no commit names a maintainer: set DEBFULLNAME and DEBEMAIL' >&2; exit 1; }
arch=$(dpkg --print-architecture) version=$VERSION-0local1
top=$OUT/deb root=$OUT/deb/root
rm -rf "$top" && mkdir -p "$root/DEBIAN" "$top/debian"
home=/usr/lib/tinykg doc=$root/usr/share/doc/tinykg

"$MAKE" -s --no-print-directory install-built BUILD="$BUILD" DESTDIR="$root" PREFIX=/usr \
  LIBDIR=$home HOMEDIR=$home \
  ZSH_COMPLETION=/usr/share/zsh/vendor-completions/_tinykg >/dev/null
strip --strip-unneeded "$root$home"/libtinykg*.so.*
chmod 644 "$root$home"/libtinykg*.so.*
gzip -9n "$root/usr/share/man/man1/tinykg.1"
pkgconfig=$root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/pkgconfig
mkdir -p "$pkgconfig"
sed 's|^Libs: .*|& -Wl,-rpath,${libdir}|' "$root$home/pkgconfig/tinykg.pc" >"$pkgconfig/tinykg.pc"
rm -r "$root$home/pkgconfig"

mkdir -p "$doc"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tinykg

Files: *
Copyright: 2025-2026 the authors of tinykg
License: none-yet
 No licence has been chosen: all rights are reserved. US patent 12,443,827 B2 and application
 US 2026/0010778 A1 concern the method.
END
date=$(date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
printf 'tinykg (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
  "$version" "$who" "$date" | gzip -9n >"$doc/changelog.Debian.gz"
gzip -9nc .github/CHANGELOG.md >"$doc/changelog.gz"

# The libraries that ours needs, by the packages that have them here.
printf 'Source: tinykg\nMaintainer: %s\n\nPackage: tinykg\nArchitecture: any\n' "$who" \
  >"$top/debian/control"
library=$(cd "$root$home" && ls libtinykg.so.*)
shared=$(cd "$top" && dpkg-shlibdeps -O --ignore-missing-info "root$home/$library" 2>/dev/null |
  sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<END
Package: tinykg
Version: $version
Architecture: $arch
Maintainer: $who
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: $shared, luajit, lua-argparse, lua-cjson, lua-filesystem, lua-posix, lua-readline
Recommends: gnuplot-nox
Section: science
Priority: optional
Description: trains knowledge-graph recommenders in a fraction of the memory
 A training engine for recommenders on knowledge graphs, scripted from LuaJIT.
 What backward needs is recomputed, kept as one bit where only a sign is read,
 or kept in 8, 4, 2 or 1 bits, so that a step takes a fraction of the memory of
 an ordinary autodiff framework.
 .
 With recipes of published models (KGAT, KGIN, KGCN, RippleNet and others), a
 command line, a prompt and a C API.
END
find "$root" -type d -exec chmod 755 '{}' + # whatever the umask was
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
file=$OUT/tinykg_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$file" >/dev/null
echo "$file"
if [ "${LINTIAN:-yes}" = yes ] && command -v lintian >/dev/null 2>&1; then
  lintian --fail-on error,warning "$file"
fi
