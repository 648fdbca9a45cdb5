package iam

// CacheSizes returns how many entries each cache holds, by a name for it.
func (s *Service) CacheSizes() map[string]int {
	s.sessionsMu.Lock()
	sessions := len(s.sessions)
	s.sessionsMu.Unlock()
	return map[string]int{
		"iam-accounts": s.accounts.Len(), "iam-access-keys": s.accessKeys.Len(), "iam-identities": s.identities.Len(),
		"iam-policies": s.policies.Len(), "iam-sessions": sessions,
	}
}
