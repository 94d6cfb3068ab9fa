"""Files as bytes: where they are kept, what they are, and small pictures of them. Whose they are is for `crust.services.files`."""
