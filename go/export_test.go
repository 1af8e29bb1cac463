package hysock

// Live says how many handles of the library there are, for a look at the end.
var Live = handlesLive
