"""Pages of the hub, for the regional admin.

A page calls what the API calls; it only reads what people type and shows what comes of
it. What all pages share is in ``protocol.peer.web.pages``.
"""
