// Package approval is the two-person rule: some changes of a deployment are made only
// when two of its operators have signed exactly what is to be done.
//
// An operator is a name and an SSH public key. Who asks for a change makes a request
// of it, with a text that says what would be done and to what; two different operators
// sign that text where their keys are, with the ssh-keygen of any machine or a hardware
// key, and hand in the signatures; then the same change is asked for again, and is
// made. Keys were preferred to users of the operating system because everybody who may
// administer the machine may become the server's user, and root all of them.
//
// # What this answers
//
// One person with the use of the server's user cannot have the server, or this
// program on a stopped folder, do what the rule covers, nor do away with the rule. A
// signature is for one request: its text has a random number, the state of things that
// the change was asked upon, and an end. What is secret in a change, such as a
// passphrase, is covered by a MAC that says nothing of it.
//
// # What it does not answer
//
// Whoever has the root and the data folder can open it with another program: with root
// on the machine, one person is enough. Two keys may belong to one person; that is for
// those to see who name operators. Recovery shares are several people by themselves
// and are not covered.
//
// # Specifications
//
// OpenSSH's PROTOCOL.sshsig for signatures, sshd(8) AUTHORIZED_KEYS for public keys,
// PROTOCOL.u2f for those in hardware.
package approval
