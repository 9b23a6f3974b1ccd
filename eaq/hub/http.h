// HTTP as the hub needs it. Redirects are followed here and not by libcurl, for two reasons: the token is for the endpoint alone,
// and what the hub says about a file (its hash, its length) stands in the answer that redirects, not in the last one.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "eaq/base/base.h"

namespace eaq::hub {

/// "https://host:port" of a URL, lower case and with the scheme's own port where none is written; empty where it is no http(s)
/// URL.
std::string origin(const std::string& url);

/// A path's bytes as they may stand in a URL; '/' stays, but not where the text is one segment.
std::string url_path(std::string_view path);
std::string url_segment(std::string_view segment);

struct HttpAnswer {
  int status = 0;            ///< of the last hop; 0: there was no answer, and `failure` says why
  std::string failure;       ///< of the connection: refused, broken, stalled. Worth another try unless `hopeless`
  bool unreachable = false;  ///< nobody was reached at all
  bool elsewhere = false;    ///< the last hop is another origin than the one that was asked
  bool hopeless = false;     ///< another try would end the same: a certificate, an address that is none
  std::string url;           ///< of the last hop
  std::map<std::string, std::string> headers;  ///< names in lower case; those beginning with "x-" of the first hop that had them
  std::string text;                            ///< the body, where no sink took it

  bool ok() const { return status >= 200 && status < 300; }
  const std::string* header(const std::string& name) const;
};

struct HttpRequest {
  std::string url;
  bool head = false;
  std::uint64_t from = 0;  ///< Range: bytes=FROM-
  /// Takes the body of an answer that is ok(); false ends the transfer. Without one the body is text, of bounded length.
  std::function<bool(const HttpAnswer& answer, std::span<const std::byte> bytes)> sink;
  /// Asked at every hop that redirects: whether what has been seen is enough.
  std::function<bool(const HttpAnswer& answer)> enough;
};

struct HttpOptions {
  std::string token_origin, token;
  Seconds stall{30};
};

/// One connection after the other; of one thread.
class HttpClient {
 public:
  /// `stop` ends what is under way, as Ctrl-C does.
  HttpClient(HttpOptions options, const std::atomic<bool>& stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Never throws for what the network does; passes on what `sink` throws. A failure where stopped() has no meaning.
  HttpAnswer ask(const HttpRequest& request);
  bool stopped() const { return stop_ || interrupted(); }

 private:
  struct Hop;
  void perform(Hop& hop, HttpAnswer& answer);

  HttpOptions options_;
  const std::atomic<bool>& stop_;
  void* curl_;
};

/// The seconds that a Retry-After asks for: a count, or a date (as HTTP writes it) less `now` (seconds since 1970).
std::optional<double> retry_after(std::string_view value, double now);

/// Where the bytes of a 206 begin and how long the whole is ("bytes 5-9/10"); nothing where it is not of that form.
struct ContentRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> whole;
};
std::optional<ContentRange> content_range(std::string_view value);

/// A whole count of bytes, as in Content-Length.
std::optional<std::uint64_t> byte_count(std::string_view value);

/// When to try again: after a broken connection, a status that means "later" (408, 425, 429, 5xx), or a 403 from a host to which
/// the hub has redirected (its address may have run out; the next try gets a new one); with pauses that double, or as long as the
/// server asks for.
class Attempts {
 public:
  /// `first_contact`: who does not answer at all now seldom does a second later, and is asked but twice.
  Attempts(Seconds pause, Seconds longest, bool first_contact = false)
      : pause_(pause), longest_(longest), first_contact_(first_contact) {}

  static bool worthwhile(const HttpAnswer& answer);
  /// Waits, and returns true where there is another try; false when tries are used up, or when the client was stopped.
  bool again(const HttpAnswer& answer, const HttpClient& client);
  void progress() { tries_ = 0; }  ///< something came: count anew

 private:
  Seconds pause_, longest_;
  bool first_contact_;
  int tries_ = 0;
};

}  // namespace eaq::hub
