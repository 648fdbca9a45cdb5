package main

// row is a line of the table: a figure of what is measured, as a ratio to the same
// figure of something else, and what is aimed at.
type row struct {
	subject *point
	// reference is what the figure is divided by; nil for a figure by itself.
	reference *point
	figure    figure
	// aim is the least that the ratio should be, or the most where less is better; 0
	// where there is no aim.
	aim float64
}

// figure is what is compared.
type figure struct {
	name   string
	less   bool // is better
	of     func(*sample) float64
	format string
}

var (
	throughput = figure{"throughput", false, func(s *sample) float64 { return s.Throughput }, "%.2f"}
	p50        = figure{"p50", true, func(s *sample) float64 { return s.P50 }, "%.2f"}
	p99        = figure{"p99", true, func(s *sample) float64 { return s.P99 }, "%.2f"}
	memory     = figure{"MB resident", true, func(s *sample) float64 { return s.Memory }, "%.0f"}
)

// rows returns the table for an executable, in the order in which it is measured.
// Keys are made last: what they leave to be tidied up is on nobody's way then.
func rows(s *strongroom) []row {
	f := s.fleet
	many := shape{connections: 64}
	one := shape{connections: 1}
	more := shape{connections: 256}
	steady := shape{connections: 64, rate: 5000}
	empty := func(l shape) *point { return f.emptyPoint("empty net/http", emptyKind{library: "nethttp"}, l, 32) }
	emptyTLS := f.emptyPoint("empty net/http, TLS 1.3", emptyKind{library: "nethttp", secured: true}, many, 32)
	// The answer to an Encrypt of 4,096 bytes is as long.
	emptyLong := f.emptyPoint("net/http, bytes of Encrypt 4,096 B", emptyKind{library: "nethttp", reply: 5760}, many, 4096)
	encrypt := s.point("Encrypt 32 B", many, empty(many), false, s.encrypt(32))
	return []row{
		{s.idle(), nil, memory, 40},
		{encrypt, encrypt.empty, throughput, 0.9},
		{f.emptyPoint("empty fasthttp", emptyKind{library: "fasthttp"}, many, 32), empty(many), throughput, 0},
		{s.point("Encrypt 32 B", more, empty(more), false, s.encrypt(32)), empty(more), throughput, 1.2},
		{s.point("Encrypt 32 B, TLS 1.3", many, emptyTLS, true, s.encrypt(32)), emptyTLS, throughput, 0.8},
		{s.point("Decrypt 32 B", many, empty(many), false, s.decrypt), encrypt, throughput, 0.9},
		{s.point("GenerateDataKey", many, empty(many), false, s.with("GenerateDataKey", "{}", `"KeySpec":"AES_256"`)), encrypt, throughput, 0.9},
		{s.point("GenerateMac 32 B", many, empty(many), false, s.with("GenerateMac", `{"KeySpec":"HMAC_256","KeyUsage":"GENERATE_VERIFY_MAC"}`,
			`"MacAlgorithm":"HMAC_SHA_256","Message":"`+random(32)+`"`)), encrypt, throughput, 0.9},
		{s.point("Encrypt 4,096 B", many, emptyLong, false, s.encrypt(4096)), emptyLong, throughput, 0.6},
		{s.point("Encrypt 32 B", one, empty(one), false, s.encrypt(32)), f.syncs(), p50, 2.5},
		{s.point("Encrypt 32 B", steady, empty(steady), false, s.encrypt(32)), empty(steady), p99, 3},
		{s.point("Sign ECDSA P-256", many, empty(many), false, s.with("Sign", `{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}`,
			`"SigningAlgorithm":"ECDSA_SHA_256","MessageType":"DIGEST","Message":"`+random(32)+`"`)), f.rawECDSA(), throughput, 0.6},
		{s.point("Sign RSA-2048", many, empty(many), false, s.with("Sign", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`,
			`"SigningAlgorithm":"RSASSA_PKCS1_V1_5_SHA_256","MessageType":"DIGEST","Message":"`+random(32)+`"`)), f.rawRSA(), throughput, 0.9},
		{s.point("CreateKey", many, empty(many), false, s.create), encrypt, throughput, 0.3},
	}
}
