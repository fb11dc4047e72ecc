"""View state as QObjects from QtCore, one per page."""
