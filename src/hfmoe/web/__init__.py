"""The page of `hfmoe web`: photos in, restored photos out; and the server of the static page."""
