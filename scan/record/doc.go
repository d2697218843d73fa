// Package record holds what rawshake writes down: one verdict ([Record]), the summary of one target asked many times
// ([Summary]) and the outcome of a whole run ([Run]), with their encoders.
//
// The JSON line is the same for every command. Its rules: numbers are numbers, a unit stands in the key, a key that
// does not apply is absent, each line carries the schema version "v" and its "type", and a file ends with one line of
// type "run" whose "complete" says whether the output is whole.
//
// The encoders append to a slice that the caller owns, allocate nothing and may be called concurrently. They trust
// nothing in a string: names and labels are escaped for the format at hand.
package record
