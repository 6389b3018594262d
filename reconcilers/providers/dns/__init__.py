"""Record sets in zones: dynamic updates, Cloud DNS or zone files behind one protocol."""
