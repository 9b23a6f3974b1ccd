#include "eaq/hub/remote.h"

#include "eaq/hub/listing.h"

namespace eaq::hub {

std::string who(const HubName& name) { return "hf:" + name.id + (name.revision == "main" ? "" : "@" + printable(name.revision)); }

std::string hash_of_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  if ((etag.size() != 40 && etag.size() != 64) || etag.find_first_not_of("0123456789abcdef") != std::string_view::npos) return "";
  return std::string(etag);
}

RemoteFile look_up(HttpClient& client, const HubName& name, const HubOptions& options, const std::string& commit,
                   const std::string& file) {
  RemoteFile remote{file, options.endpoint + "/" + name.id + "/resolve/" + commit + "/" + url_path(file), "", {}};
  const auto linked_hash = [](const HttpAnswer& answer) {
    const std::string* tag = answer.header("x-linked-etag");
    return tag == nullptr ? "" : hash_of_etag(*tag);
  };
  Attempts attempts(options.pause, options.longest_pause);
  HttpAnswer answer;
  do {
    answer =
        client.ask({.url = remote.url, .head = true, .enough = [&](const HttpAnswer& now) { return !linked_hash(now).empty(); }});
  } while (!(answer.failure.empty() && (answer.ok() || !linked_hash(answer).empty())) && attempts.again(answer, client));
  if (client.stopped()) throw Error(ErrorKind::interrupted, "interrupted while fetching " + who(name));
  remote.hash = answer.failure.empty() ? linked_hash(answer) : "";
  if (remote.hash.empty() && !answer.ok()) refuse(answer, name, options, "'" + file + "'");
  const std::string* length = answer.header(remote.hash.empty() ? "content-length" : "x-linked-size");
  if (remote.hash.empty()) {
    const std::string* tag = answer.header("etag");
    remote.hash = tag == nullptr ? "" : hash_of_etag(*tag);
  }
  if (length == nullptr && answer.ok()) length = answer.header("content-length");
  if (length != nullptr) remote.bytes = byte_count(*length);
  if (is_small_file(file) || is_index(file))
    if (remote.bytes.value_or(0) > largest_small_file)
      throw Error(ErrorKind::input, who(name) + ": '" + file + "' has " + std::to_string(*remote.bytes) +
                                        " bytes, more than such a file may have (" + std::to_string(largest_small_file) + ")");
  if (remote.hash.empty())
    throw Error(ErrorKind::input,
                who(name) + ": '" + file + "': " + printable(options.endpoint) +
                    " names no hash for it (X-Linked-ETag or ETag), so it could not be checked; is this a hub?");
  if (const std::string* at = answer.header("x-repo-commit"); at != nullptr && *at != commit)
    throw Error(ErrorKind::input,
                who(name) + ": '" + file + "' is of commit '" + printable(*at) + "', " + commit + " was asked for");
  return remote;
}

void refuse(const HttpAnswer& answer, const HubName& name, const HubOptions& options, const std::string& wanted) {
  const std::string start = who(name) + ": " + wanted + (wanted.empty() ? "" : ": "), at = printable(options.endpoint);
  if (!answer.failure.empty())
    throw Error(ErrorKind::unavailable, start + origin(answer.url) + " cannot be reached, or broke off: " + answer.failure +
                                            ". Try again; --offline uses what the cache has");
  const std::string* code = answer.header("x-error-code");
  const std::string* message = answer.header("x-error-message");
  const std::string said = message == nullptr ? "" : " (the hub says: " + printable(*message) + ")";
  const std::string reason = code == nullptr ? "" : *code;
  const int status = answer.status;
  // What another host says, to which the hub has redirected, is of that host.
  if (const std::string host = origin(answer.url); host != origin(options.endpoint))
    throw Error(ErrorKind::unavailable, start + host + ", to which " + at + " sends, answers with status " +
                                            std::to_string(status) + "; try again later");
  if (reason == "GatedRepo" || (status == 403 && reason.empty()))
    throw Error(ErrorKind::unavailable,
                start + "its owner has to let you in: open " + at + "/" + name.id +
                    " in a browser and accept what it asks for, then " +
                    (options.token.empty() ? "give your token in HF_TOKEN"
                                           : "make sure that HF_TOKEN is of that account and may read it") +
                    said);
  if (message != nullptr && message->starts_with("Invalid credentials"))
    throw Error(ErrorKind::unavailable,
                start + at + " does not accept the token: set HF_TOKEN anew, or unset it where none is needed" + said);
  if (reason == "RevisionNotFound")
    throw Error(ErrorKind::input, start + "has no revision '" + printable(name.revision) + "'" + said);
  if (reason == "EntryNotFound") throw Error(ErrorKind::input, start + "is not there, though the listing has it" + said);
  if (reason == "RepoNotFound" || status == 401 || status == 404)
    throw Error(ErrorKind::input,
                start + at + " has no such repository, or it is private: look at the spelling" +
                    (options.token.empty() ? ", or give a token that may read it in HF_TOKEN" : "; the token may not read it") +
                    said);
  throw Error(ErrorKind::unavailable, start + at + " answers with status " + std::to_string(status) + said + "; try again later");
}

}  // namespace eaq::hub
