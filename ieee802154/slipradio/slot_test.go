package slipradio

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"border-router/ieee802154"
)

// A ledger is a slip-radio that keeps books of what is under way to it. Its air is slow.
type ledger struct {
	net.Conn // its end of the line

	mu              sync.Mutex
	flying          map[uint8]int // bytes by sid
	bytes           int
	most, mostBytes int
	wrong           []byte // sids that are none, or were in use
}

func (l *ledger) serve() {
	var d Decoder
	buf := make([]byte, 4096)
	var wmu sync.Mutex
	write := func(b []byte) {
		wmu.Lock()
		defer wmu.Unlock()
		l.Write(AppendFrame(nil, b))
	}
	for {
		n, err := l.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) > 0; {
			frame, rest, _ := d.Next(b)
			b = rest
			switch {
			case len(frame) < 2:
			case string(frame[:2]) == "?M":
				write(binary.BigEndian.AppendUint64([]byte("!M"), 1))
			case string(frame) == "?V\x00\x01":
				write([]byte{'!', 'V', 0, 1, 0, DefaultChannel})
			case string(frame) == "?V\x00\x02":
				write([]byte{'!', 'V', 0, 2, DefaultPAN >> 8, DefaultPAN & 0xff})
			case string(frame[:2]) == "!S":
				sid := frame[2]
				l.took(sid, len(frame)-4)
				time.AfterFunc(5*time.Millisecond, func() {
					l.took(sid, 0)
					write([]byte{'!', 'R', sid, statusOK, 1})
				})
			}
		}
	}
}

// took notes that n bytes are under way by sid; 0: none any more.
func (l *ledger) took(sid uint8, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == 0 {
		l.bytes -= l.flying[sid]
		delete(l.flying, sid)
		return
	}
	if _, busy := l.flying[sid]; busy || sid > 15 {
		l.wrong = append(l.wrong, sid)
	}
	l.flying[sid] = n
	l.bytes += n
	l.most, l.mostBytes = max(l.most, len(l.flying)), max(l.mostBytes, l.bytes)
}

// TestWindow: at most 16 frames are under way, by ids from 0 to 15, and no more bytes than the
// radio's buffer takes; and as many as that are.
func TestWindow(t *testing.T) {
	for _, c := range []struct{ payload, most int }{{4, 16}, {90, 9}} {
		host, radio := net.Pipe()
		l := &ledger{Conn: radio, flying: map[uint8]int{}}
		go l.serve()
		r, err := Open(Config{Name: "pipe", Dialect: Slip, Timeout: time.Minute, Dial: func(context.Context) (io.ReadWriteCloser, error) { return host, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.WaitUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		tx := make([]ieee802154.TxFrame, 64)
		for i := range tx {
			f := ieee802154.Frame{Type: ieee802154.TypeData, Version: 1, AckRequest: true, PANIDCompression: true, Seq: uint8(i), DstPAN: DefaultPAN,
				HasDstPAN: true, Dst: ieee802154.Extended(uint64(100 + i)), Src: ieee802154.Extended(1), Payload: make([]byte, c.payload)}
			if tx[i].Data, err = f.AppendBinary(nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Transmit(tx); err != nil {
			t.Fatal(err)
		}
		for i := range tx {
			if tx[i].Status != ieee802154.TxAcked {
				t.Errorf("frame %d: %v", i, tx[i].Status)
			}
		}
		r.Close()
		l.mu.Lock()
		if len(l.wrong) > 0 || l.most != c.most || l.mostBytes > windowBytes {
			t.Errorf("%d bytes each: %d frames and %d bytes under way, want %d frames; ids %v", len(tx[0].Data), l.most, l.mostBytes, c.most, l.wrong)
		}
		l.mu.Unlock()
		radio.Close()
	}
}

// TestRestartUntold: a radio that does not tell its settings is set up again when it says that it
// starts, also while it is being asked for them.
func TestRestartUntold(t *testing.T) {
	host, radio := net.Pipe()
	defer radio.Close()
	set := make(chan string, 64)
	asked := make(chan struct{}, 64)
	go func() {
		var d Decoder
		buf := make([]byte, 4096)
		for {
			n, err := radio.Read(buf)
			if err != nil {
				return
			}
			for b := buf[:n]; len(b) > 0; {
				frame, rest, _ := d.Next(b)
				b = rest
				switch {
				case len(frame) < 2:
				case string(frame[:2]) == "?M":
					radio.Write(AppendFrame(nil, binary.BigEndian.AppendUint64([]byte("!M"), 1)))
				case string(frame[:2]) == "?V":
					asked <- struct{}{}
				case string(frame[:2]) == "!V":
					set <- string(frame[3:])
				}
			}
		}
	}()
	r, err := Open(Config{Name: "pipe", Dialect: Slip, Keepalive: 50 * time.Millisecond, Dial: func(context.Context) (io.ReadWriteCloser, error) { return host, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.WaitUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for len(asked) > 0 {
		<-asked
	}
	<-asked // by the keepalive, which waits for an answer
	for len(set) > 0 {
		<-set
	}
	radio.Write(AppendFrame(nil, []byte("Starting Contiki-NG-release/v4.9\n")))
	for _, want := range []string{"\x01\x00\x1a", "\x02\xab\xcd"} {
		select {
		case got := <-set:
			if got != want {
				t.Errorf("set %x, want %x", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("not set up again")
		}
	}
	if d := r.DongleStats(); d.Restarts != 1 || d.Lost != 0 {
		t.Errorf("%+v", d)
	}
	for len(asked) > 0 {
		<-asked
	}
	for range 3 { // two questions each time: it has been asked once more by then
		<-asked
	}
	if d := r.DongleStats(); d.Restarts != 1 || len(set) > 0 {
		t.Errorf("set up without a reason: %+v", d)
	}
}

// TestStaleSlot: a report that comes too late is not that of the next frame.
func TestStaleSlot(t *testing.T) {
	r, _ := inputRadio(Slip)
	r.cfg.Timeout = time.Second
	now := time.Unix(1000, 0)
	tx, st := ieee802154.TxFrame{Status: ieee802154.TxPending}, txState{sid: r.takeSlot(now, 0, window-1)}
	late := st.sid
	now = now.Add(time.Second)
	if r.settle(now, &tx, &st); st.sid >= 0 || tx.Status != ieee802154.TxPending || r.dongle.Timeouts != 1 {
		t.Fatalf("%+v %+v", tx, r.dongle)
	}
	taken := func() (all []int16) {
		saved, next := r.slots, r.nextID
		for {
			id := r.takeSlot(now, 0, window-1)
			if id < 0 {
				r.slots, r.nextID = saved, next
				return all
			}
			all = append(all, id)
		}
	}
	for _, id := range taken() {
		if id == late {
			t.Errorf("id %d is given to another frame", id)
		}
	}
	r.report(uint8(late), statusOK, 1)
	if n := len(taken()); n != window || r.dongle.LateReport != 1 || r.slots[late].state != slotFree {
		t.Errorf("%d ids, %+v, %+v", n, r.dongle, r.slots[late])
	}
	// One that never comes frees the id as well.
	st.sid = r.takeSlot(now, 0, window-1)
	now = now.Add(time.Second)
	r.settle(now, &tx, &st)
	if n := len(taken()); n != window-1 {
		t.Errorf("%d ids", n)
	}
	now = now.Add(time.Second)
	if n := len(taken()); n != window {
		t.Errorf("%d ids after the time of the report", n)
	}
	// A report for a frame that nobody sent.
	r.report(200, statusOK, 1)
	if r.dongle.LateReport != 2 || r.slots[200].state != slotFree {
		t.Errorf("%+v", r.dongle)
	}
}
