"""``ainext serve``: recognition over HTTP and WebSocket, and the page. Needs the extra ``serve``."""
