"""The page in Debian's Chromium: `make test-browser`."""
