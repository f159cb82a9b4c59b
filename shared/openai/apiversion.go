package openai

// firstWithStreamOptions is the date of the api-version 2024-09-01-preview, the first that takes stream_options.
const firstWithStreamOptions = "2024-09-01"

// SupportsStreamOptions tells whether Azure accepts stream_options under this api-version: those dated 2024-09-01 or
// later, the undated ones of the v1 API ("v1", "preview", "latest"), and none at all (""). Older versions answer
// 400 "Unknown parameter: 'stream_options'". A version that cannot be read is taken for an old one.
func SupportsStreamOptions(apiVersion string) bool {
	switch apiVersion {
	case "", "v1", "preview", "latest":
		return true
	}
	return IsDated(apiVersion) && apiVersion[:len(firstWithStreamOptions)] >= firstWithStreamOptions
}

// IsDated tells whether apiVersion is one of the classic Azure API: a date, "2024-10-21", or a date with a suffix,
// "2024-09-01-preview".
func IsDated(apiVersion string) bool {
	const form = "0000-00-00"
	if len(apiVersion) < len(form) || len(apiVersion) > len(form) && apiVersion[len(form)] != '-' {
		return false
	}
	for i := range len(form) {
		digit := apiVersion[i] >= '0' && apiVersion[i] <= '9'
		if digit != (form[i] == '0') || !digit && apiVersion[i] != '-' {
			return false
		}
	}
	return true
}

// plausibleVersion tells whether v can be an api-version: "" or up to 64 letters, digits, dots and hyphens.
func plausibleVersion(v string) bool {
	if len(v) > maxAPIVersionBytes {
		return false
	}
	for _, c := range []byte(v) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}
