# Packages: the archive of a release, a rock, a Debian package. Each lies in $(BUILD) afterwards.

.PHONY: dist rock deb

NAME = tinykg-$(VERSION)

# The committed tree; the same bytes for the same commit.
dist:
	@git rev-parse -q --verify HEAD >/dev/null 2>&1 || \
	  { echo 'make dist packs a commit: this tree is no git repository, or has none' >&2; exit 1; }
	@mkdir -p '$(BUILD)'
	git archive --format=tar --prefix='$(NAME)/' -o '$(BUILD)/$(NAME).tar' HEAD
	@gzip -9nf '$(BUILD)/$(NAME).tar'
	@echo "$(BUILD)/$(NAME).tar.gz"

# A source rock, which `luarocks install` builds anywhere: the rockspec and the archive that it names.
rock: dist
	@cd '$(BUILD)' && rm -f '$(NAME)-1.src.rock' && \
	  zip -jqX '$(NAME)-1.src.rock' '$(CURDIR)/lua/$(NAME)-1.rockspec' '$(NAME).tar.gz'
	@echo "$(BUILD)/$(NAME)-1.src.rock"

# What is built here, for the release of Debian that this is; lintian looks at it if it is there.
deb: build
	@BUILD='$(BUILD)' VERSION='$(VERSION)' MAKE='$(MAKE)' tests/tools/deb.sh
