#include "eaq/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <utility>

namespace eaq::hub {
namespace {

constexpr int most_hops = 10, most_tries = 5;
constexpr std::size_t longest_text = std::size_t{64} << 20;  // a listing of a thousand files is some 300 kB
constexpr std::size_t longest_error = 4096;                  // of a body that comes with an error
constexpr long buffer_bytes = 512 << 10;
constexpr Seconds connect_within(10);

void start_curl() {
  static const bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  if (!started) throw Error(ErrorKind::bug, "libcurl does not start");
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;
using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

void append(HeaderList& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  (void)list.release();
  list.reset(longer);
}

std::string escaped(std::string_view text, std::string_view plain) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || plain.find(c) != std::string_view::npos)
      out += c;
    else
      out += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

}  // namespace

std::string origin(const std::string& url) {
  const Url parsed(curl_url(), curl_url_cleanup);
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return "";
  const std::string scheme = lower(part_of(parsed.get(), CURLUPART_SCHEME));
  const std::string host = lower(part_of(parsed.get(), CURLUPART_HOST));
  if ((scheme != "http" && scheme != "https") || host.empty()) return "";
  return scheme + "://" + host + ":" + part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string url_path(std::string_view path) { return escaped(path, "-._~/"); }
std::string url_segment(std::string_view segment) { return escaped(segment, "-._~"); }

const std::string* HttpAnswer::header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? nullptr : &at->second;
}

// One request of a chain: what libcurl's callbacks know.
struct HttpClient::Hop {
  const HttpRequest& request;
  HttpAnswer& answer;
  const HttpClient& client;
  CURL* curl;
  bool sink_ended = false, silent = false, headers_taken = false;
  std::map<std::string, std::string> headers;  ///< of this answer; not of a proxy's, nor of one that only says "go on"
  // libcurl's own limit judges the mean of five seconds.
  curl_off_t received = 0;
  Seconds heard = monotonic_clock().now();
  std::exception_ptr thrown;

  // No exception may pass through libcurl.
  template <class Work>
  std::size_t guarded(Work work) {
    try {
      return work();
    } catch (...) {
      thrown = std::current_exception();
      return 0;
    }
  }

  static std::size_t header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& hop = *static_cast<Hop*>(self);
    const std::string_view line(data, size * count);
    return hop.guarded([&] {
      hop.take_header(line);
      return line.size();
    });
  }

  void take_header(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) headers.clear();
    if (line.starts_with("HTTP/") || colon == std::string_view::npos) return;
    headers.insert_or_assign(lower(trimmed(line.substr(0, colon))), std::string(trimmed(line.substr(colon + 1))));
  }

  // Once, when all are there.
  void hand_on_headers() {
    if (std::exchange(headers_taken, true)) return;
    for (auto& [name, value] : headers) {
      if (name.starts_with("x-"))
        answer.headers.try_emplace(name, std::move(value));
      else
        answer.headers.insert_or_assign(name, std::move(value));
    }
  }

  static std::size_t body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& hop = *static_cast<Hop*>(self);
    const std::string_view part(data, size * count);
    return hop.guarded([&] { return hop.take_body(part) ? part.size() : 0; });
  }

  bool take_body(std::string_view part) {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
    hand_on_headers();
    if (answer.ok() && request.sink) {
      sink_ended = !request.sink(answer, std::as_bytes(std::span(part)));
      return !sink_ended;
    }
    if (!answer.ok()) part = part.substr(0, longest_error - std::min(longest_error, answer.text.size()));
    if (answer.text.size() + part.size() > longest_text) {
      answer.failure = "sends more than the " + std::to_string(longest_text >> 20) + " MiB that such an answer may have";
      answer.hopeless = true;
      return false;
    }
    answer.text += part;
    return true;
  }

  static int progress(void* self, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) {
    auto& hop = *static_cast<Hop*>(self);
    const Seconds now = monotonic_clock().now();
    if (received != hop.received) hop.received = received, hop.heard = now;
    hop.silent = now - hop.heard > hop.client.options_.stall;
    return hop.silent || hop.client.stopped() ? 1 : 0;
  }
};

HttpClient::HttpClient(HttpOptions options, const std::atomic<bool>& stop) : options_(std::move(options)), stop_(stop) {
  start_curl();
  curl_ = curl_easy_init();
  if (curl_ == nullptr) throw std::bad_alloc();
}

HttpClient::~HttpClient() { curl_easy_cleanup(curl_); }

void HttpClient::perform(Hop& hop, HttpAnswer& answer) {
  CURL* curl = curl_;
  curl_easy_reset(curl);  // keeps connections
  HeaderList headers(nullptr, curl_slist_free_all);
  // A length and a range are of the bytes that are hashed, not of a compressed form.
  append(headers, "Accept-Encoding: identity");
  if (!options_.token.empty() && origin(answer.url) == options_.token_origin)
    append(headers, "Authorization: Bearer " + options_.token);
  if (hop.request.from > 0) append(headers, "Range: bytes=" + std::to_string(hop.request.from) + "-");
  char message[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    if (curl_easy_setopt(curl, option, value) != CURLE_OK)
      throw Error(ErrorKind::bug, "libcurl does not take option " + std::to_string(static_cast<int>(option)));
  };
  set(CURLOPT_URL, answer.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOBODY, hop.request.head ? 1L : 0L);
  set(CURLOPT_HTTPHEADER, headers.get());
  const std::string agent = "eaq/" + std::string(version());
  set(CURLOPT_USERAGENT, agent.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, buffer_bytes);  // not taken (7.88) after a name that did not resolve
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_within.value() * 1000));
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_HEADERFUNCTION, &Hop::header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&hop));
  set(CURLOPT_WRITEFUNCTION, &Hop::body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&hop));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Hop::progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&hop));
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(message));
  const CURLcode code = curl_easy_perform(curl);
  if (hop.thrown) std::rethrow_exception(hop.thrown);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  hop.hand_on_headers();
  if (code == CURLE_OK || hop.sink_ended || !answer.failure.empty()) return;
  answer.failure = message[0] != '\0' ? printable(message) : curl_easy_strerror(code);
  if (hop.silent) answer.failure = "nothing came for " + std::to_string(static_cast<int>(options_.stall.value())) + " s";
  answer.unreachable = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT;
  answer.hopeless = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
                    code == CURLE_SSL_CACERT_BADFILE;
}

HttpAnswer HttpClient::ask(const HttpRequest& request) {
  HttpAnswer answer;
  answer.url = request.url;
  for (int hops = 0; hops <= most_hops; ++hops) {
    std::erase_if(answer.headers, [](const auto& header) { return !header.first.starts_with("x-"); });
    answer.text.clear();
    Hop hop{request, answer, *this, curl_};
    perform(hop, answer);
    if (!answer.failure.empty() || !is_redirect(answer.status)) return answer;
    if (request.enough && request.enough(answer)) return answer;
    char* next = nullptr;
    curl_easy_getinfo(curl_, CURLINFO_REDIRECT_URL, &next);
    const std::string to = next == nullptr ? "" : next, from_origin = origin(answer.url), to_origin = origin(to);
    if (to_origin.empty() || (from_origin.starts_with("https:") && !to_origin.starts_with("https:"))) {
      answer.failure = "redirects to '" + printable(to) + "', where eaq does not follow";
      answer.hopeless = true;
      return answer;
    }
    answer.url = to;
    answer.elsewhere = to_origin != origin(request.url);
  }
  answer.failure = "redirects more than " + std::to_string(most_hops) + " times";
  answer.hopeless = true;
  return answer;
}

std::optional<std::uint64_t> byte_count(std::string_view value) {
  value = trimmed(value);
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return count;
}

std::optional<ContentRange> content_range(std::string_view value) {
  value = trimmed(value);
  constexpr std::string_view unit = "bytes ";
  const std::size_t dash = value.find('-'), slash = value.find('/');
  if (!value.starts_with(unit) || dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return {};
  const auto first = byte_count(value.substr(unit.size(), dash - unit.size()));
  const auto last = byte_count(value.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first) return {};
  ContentRange range{*first, std::nullopt};
  if (value.substr(slash + 1) != "*") {
    range.whole = byte_count(value.substr(slash + 1));
    if (!range.whole || *range.whole <= *last) return {};
  }
  return range;
}

std::optional<double> retry_after(std::string_view value, double now) {
  value = trimmed(value);
  if (const auto seconds = byte_count(value)) return static_cast<double>(*seconds);
  const std::string text(value);
  const time_t when = curl_getdate(text.c_str(), nullptr);
  if (when < 0) return std::nullopt;
  return std::max(0.0, static_cast<double>(when) - now);
}

bool Attempts::worthwhile(const HttpAnswer& answer) {
  if (!answer.failure.empty()) return !answer.hopeless;
  const int status = answer.status;
  constexpr int not_implemented = 501;
  return status == 408 || status == 425 || status == 429 || (status == 403 && answer.elsewhere) ||
         (status >= 500 && status != not_implemented);
}

bool Attempts::again(const HttpAnswer& answer, const HttpClient& client) {
  if (!worthwhile(answer) || ++tries_ >= (first_contact_ && answer.unreachable ? 2 : most_tries)) return false;
  Seconds wait = pause_ * static_cast<double>(1 << (tries_ - 1));
  if (const std::string* asked = answer.header("retry-after"); asked != nullptr && answer.failure.empty())
    if (const auto seconds = retry_after(*asked, static_cast<double>(std::time(nullptr)))) wait = Seconds(*seconds);
  if (wait > longest_) return false;
  const Seconds until = monotonic_clock().now() + wait;
  while (!client.stopped()) {
    const Seconds left = until - monotonic_clock().now();
    if (left <= Seconds(0)) return true;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left.value(), 0.05)));
  }
  return false;
}

}  // namespace eaq::hub
