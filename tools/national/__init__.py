"""The usual rules by which a country dials, as rewrite rules: metadata of libphonenumber, made into a set."""
