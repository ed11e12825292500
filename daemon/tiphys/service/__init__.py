"""What surrounds a daemon on its machine: systemd's notices and sockets, its journal, and where its own socket is."""
