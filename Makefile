# A thin front door: Meson does the work. Each target installs what it needs with apt, once.
#   make demo            build, then share this screen (or a test desktop under Xvfb)
#   make check           build, then run every test; SANITIZE=address,undefined or =thread
#   make bench           measure, beside the peers; tables and build/bench/*.json
#   make soak            the long runs
#   make install clean   PREFIX=/usr/local
PREFIX ?= /usr/local
SANITIZE ?=
comma := ,
BUILD := build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
SETUP_FLAGS := --prefix=$(PREFIX) $(if $(SANITIZE),-Db_sanitize=$(SANITIZE) -Dbuildtype=debugoptimized -Db_lundef=false -Dwasm=disabled) $(if $(WERROR),-Dwerror=true)

.PHONY: all demo check bench soak fuzz install clean
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	tools/install-packages build web
	meson setup $(BUILD) $(SETUP_FLAGS)

demo:
	tools/install-packages build web demo
	$(MAKE) --no-print-directory all
	tools/demo

check:
	tools/install-packages build web demo test
	$(MAKE) --no-print-directory all
	tools/check $(BUILD)

bench: 
	tools/install-packages build web demo test
	$(MAKE) --no-print-directory all
	tools/bench $(BUILD)

soak:
	tools/install-packages build web demo test
	$(MAKE) --no-print-directory all
	meson test -C $(BUILD) --no-rebuild --num-processes 1 --suite soak

fuzz:
	tools/install-packages build test fuzz
	tools/fuzz

# The build may have been configured with another prefix.
install: all
	meson configure $(BUILD) --prefix=$(PREFIX)
	meson install -C $(BUILD)

clean:
	rm -rf build build-*
