// Package builder turns a site directory into bundles: the catalogue and the cluster file become a lock, and the lock, the
// cluster file and the site's certificates become one file per role.
//
// Only Lock decides anything; Build does what the lock says, and gives the same bytes for the same lock, cluster file and
// certificates on every machine. Whatever was fetched or encoded stays in the store, by digest, so that an interrupted
// command goes on where it stopped and a later one fetches nothing twice.
package builder
