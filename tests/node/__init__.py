"""What others build with, in their own programs: AsyncAPI's parser and Node-RED. `make test-node`."""
