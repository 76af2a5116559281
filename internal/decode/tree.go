package decode

func (r *result) appendTree(b []byte) []byte { return b }
