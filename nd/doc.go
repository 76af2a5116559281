// Package nd is IPv6 Neighbor Discovery of a mesh.
package nd
