"""``ainext serve``: recognition over HTTP and WebSocket, and the web page. Needs the extra ``serve``."""
