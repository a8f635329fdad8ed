package inflate

// block reads the header of a block.
func (d *decoder) block() error {
	head, err := d.in.number(3)
	if err != nil {
		return err
	}
	d.last = head&1 != 0
	switch head >> 1 {
	case 0:
		return d.storedHeader()
	case 1:
		d.fixedCodes()
		return nil
	case 2:
		return d.dynamicCodes()
	}
	return d.corrupt()
}

// storedHeader reads the length of a block that was not compressed.
func (d *decoder) storedHeader() error {
	v, err := d.in.uint32()
	if err != nil {
		return err
	}
	if v>>16 != ^v&0xffff {
		return d.corrupt()
	}
	d.stored, d.state = int(v&0xffff), inStored
	if d.stored == 0 {
		d.ended()
	}
	return nil
}

// copyStored copies of a block that was not compressed what is there and has room.
func (d *decoder) copyStored() error {
	d.in.fill(1)
	n := min(d.stored, d.in.left(), window+chunk-d.made)
	if n == 0 {
		return d.in.failed()
	}
	copy(d.out[d.made:], d.in.buf[d.in.at:d.in.at+n])
	d.in.at += n
	d.made += n
	if d.stored -= n; d.stored == 0 {
		d.ended()
	}
	return nil
}

// fixedCodes takes the codes that the format itself defines.
func (d *decoder) fixedCodes() {
	d.state = inCodes
	if d.fixed {
		return
	}
	lengths := d.lengths[:maxSymbols]
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	d.lit.build(lengths, d.litEntries, litBits)
	for i := range d.lengths[:32] {
		d.lengths[i] = 5
	}
	d.dist.build(d.lengths[:32], d.distEntries, distBits)
	d.fixed = true
}

// dynamicCodes reads the codes of a block that brings its own.
func (d *decoder) dynamicCodes() error {
	head, err := d.in.number(14)
	if err != nil {
		return err
	}
	lits, dists, n := 257+head&31, 1+head>>5&31, 4+head>>10
	if lits > 286 || dists > 30 {
		return d.corrupt()
	}
	var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var lengths [len(order)]uint8
	for _, s := range order[:n] {
		v, err := d.in.number(3)
		if err != nil {
			return err
		}
		lengths[s] = uint8(v)
	}
	if !d.header.build(lengths[:], d.plainEntries, headerBits) {
		return d.corrupt()
	}
	if err := d.readLengths(lits + dists); err != nil {
		return err
	}
	d.fixed = false
	if !d.lit.build(d.lengths[:lits], d.litEntries, litBits) || !d.dist.build(d.lengths[lits:lits+dists], d.distEntries, distBits) {
		return d.corrupt()
	}
	d.state = inCodes
	return nil
}

// readLengths reads the lengths of n codes, which are written in a code of their own.
func (d *decoder) readLengths(n int) error {
	for i := 0; i < n; {
		v, e, err := d.in.symbol(&d.header, headerBits)
		if err != nil {
			return err
		}
		if e&exceptional != 0 {
			return d.corrupt()
		}
		if v < 16 {
			d.lengths[i] = uint8(v)
			i++
			continue
		}
		repeated, again, extra := uint8(0), 3, uint(3)
		switch v {
		case 16:
			if i == 0 {
				return d.corrupt()
			}
			repeated, extra = d.lengths[i-1], 2
		case 18:
			again, extra = 11, 7
		}
		more, err := d.in.number(extra)
		if err != nil {
			return err
		}
		if again += more; again > n-i {
			return d.corrupt()
		}
		for range again {
			d.lengths[i] = repeated
			i++
		}
	}
	return nil
}

// symbol decodes one symbol, where there is not enough input for the fast loop.
func (d *decoder) symbol() error {
	length, e, err := d.in.symbol(&d.lit, litBits)
	switch {
	case err != nil:
		return err
	case e&literal != 0:
		d.out[d.made] = byte(length)
		d.made++
		return nil
	case e&exceptional != 0:
		return d.noSymbol(e)
	}
	distance, e, err := d.in.symbol(&d.dist, distBits)
	if err != nil {
		return err
	}
	from := d.made - distance
	if e&exceptional != 0 || from < d.start {
		return d.corrupt()
	}
	for range length {
		d.out[d.made] = d.out[from]
		d.made++
		from++
	}
	return nil
}
