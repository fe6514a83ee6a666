"""Contents of bodies: everything in them that can be read, as a stream and in constant memory."""
