package zep

import (
	"testing"

	"border-router/ieee802154"
)

func dataRequest(seq uint8, src, dst uint64) []byte {
	f := ieee802154.Frame{Type: ieee802154.TypeCommand, PANIDCompression: true, AckRequest: true, Seq: seq, DstPAN: DefaultPAN,
		Src: ieee802154.Extended(src), Dst: ieee802154.Extended(dst), Payload: []byte{byte(ieee802154.CommandDataRequest)}}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// TestSleep: over real sockets a data request is acknowledged with and without frame
// pending, one whose receiver is off neither takes nor acknowledges a frame, and what
// answers a data request is sent once.
func TestSleep(t *testing.T) {
	hub := openHub(t, nil)
	node := openClient(t, hub, nodeA, nil)
	node.SetReceiver(false)
	tx := func(r *Radio, f ieee802154.TxFrame) ieee802154.TxFrame {
		t.Helper()
		b := []ieee802154.TxFrame{f}
		if err := r.Transmit(b); err != nil {
			t.Fatal(err)
		}
		return b[0]
	}
	for seq, pending := range []bool{false, true, false} {
		if err := hub.SetPending(ieee802154.Extended(nodeA), pending); err != nil {
			t.Fatal(err)
		}
		f := tx(node, ieee802154.TxFrame{Data: dataRequest(uint8(seq), nodeA, routerEUI)})
		if f.Status != ieee802154.TxAcked || f.Pending != pending {
			t.Errorf("%v, pending %v, want %v", f.Status, f.Pending, pending)
		}
	}
	hub.SetSourceMatch(false)
	if f := tx(node, ieee802154.TxFrame{Data: dataRequest(9, nodeA, routerEUI)}); !f.Pending {
		t.Error("says that nothing waits, and cannot know")
	}
	data := dataFrame(20, DefaultPAN, routerEUI, nodeA, "x")
	if f := tx(hub, ieee802154.TxFrame{Data: data, Indirect: true}); f.Status != ieee802154.TxNoAck || f.Attempts != 1 {
		t.Errorf("to one that sleeps: %v, %d attempts", f.Status, f.Attempts)
	}
	node.SetReceiver(true)
	if f := tx(hub, ieee802154.TxFrame{Data: data, Indirect: true}); f.Status != ieee802154.TxAcked {
		t.Errorf("to one that listens: %v", f.Status)
	}
	batch := []ieee802154.RxFrame{{Data: make([]byte, 0, ieee802154.MaxFrame)}}
	if n, err := node.Receive(batch); n != 1 || err != nil {
		t.Errorf("%d frames, %v", n, err)
	}
	st := node.RadioStats()
	sum, asleep := st.Delivered+st.Consumed+st.Forwarded, uint64(0)
	for _, d := range st.Drops {
		sum += d.Count
		if d.Reason == ieee802154.DropAsleep.Error() {
			asleep = d.Count
		}
	}
	if sum != st.Received || asleep != 1 {
		t.Errorf("%+v", st)
	}
	if m := hub.MACStats(); m.DataRequests != 4 || m.PendingAcks != 2 {
		t.Errorf("%+v", m)
	}
}
