package hysock

import "context"

// A Peer is who sent a request: as the kernel knows it, from the time when the connection was made.
type Peer struct {
	UID, GID uint32
	PID      int32 // 0 when it cannot be seen from here
}

type peerKey struct{}

// PeerFromContext gives the sender of the request whose context this is; false when it is not known.
func PeerFromContext(ctx context.Context) (Peer, bool) {
	peer, ok := ctx.Value(peerKey{}).(Peer)
	return peer, ok
}
