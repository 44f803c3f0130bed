"""How a network comes here: fetched, downloaded, unpacked, converted."""
