"""The engine: observe (World -> Survey), execute (Plan -> Journal), drill (both, with a fault)."""
