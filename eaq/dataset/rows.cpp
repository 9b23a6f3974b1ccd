#include "eaq/dataset/rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

#include "eaq/base/json.h"

namespace eaq::dataset {
namespace {

constexpr std::array<std::string_view, 3> text_fields{"sentence", "text_a", "text"};

std::string at_line(std::int64_t line) { return "line " + std::to_string(line) + " "; }

std::string label_field(const SentenceOptions& options) { return options.label_field.empty() ? "label" : options.label_field; }

/// Calls `visit(line, number)` for each line, without its line end. A file's last line may lack one.
void for_each_line(std::string_view content, const std::function<void(std::string_view, std::int64_t)>& visit) {
  for (std::int64_t number = 1; !content.empty(); ++number) {
    const auto end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    visit(line, number);
  }
}

void check_utf8(const std::filesystem::path& file, std::string_view content) {
  if (is_utf8(content)) return;
  for_each_line(content, [&](std::string_view line, std::int64_t number) {
    if (!is_utf8(line)) fail(file, at_line(number) + "is not valid UTF-8 (convert it, e.g. iconv -f LATIN1 -t UTF-8)");
  });
}

void check_label(const std::filesystem::path& file, std::int64_t line, std::int64_t label, const SentenceOptions& options) {
  if (label < 0 || label >= options.label_count)
    fail(file, at_line(line) + "has the label " + std::to_string(label) + ", the model's are 0 to " +
                   std::to_string(options.label_count - 1));
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const auto tab = line.find('\t');
    cells.push_back(line.substr(0, tab));
    if (tab == line.npos) return cells;
    line.remove_prefix(tab + 1);
  }
}

/// Which columns of a table hold text and label.
class Columns {
 public:
  Columns(const std::filesystem::path& file, std::string_view header, const SentenceOptions& options) : file_(file) {
    names_ = split(header);
    label_ = find(label_field(options));
    if (!options.text_field.empty()) {
      text_ = find(options.text_field);
    } else {
      const auto known =
          std::find_if(text_fields.begin(), text_fields.end(), [&](std::string_view name) { return count(name) > 0; });
      if (known == text_fields.end()) fail_missing("sentence' or 'text_a");
      text_ = find(*known);
    }
  }
  std::size_t size() const { return names_.size(); }
  std::size_t text() const { return text_; }
  std::size_t label() const { return label_; }

 private:
  std::ptrdiff_t count(std::string_view name) const { return std::count(names_.begin(), names_.end(), name); }
  std::size_t find(std::string_view name) const {
    if (count(name) == 0) fail_missing(name);
    if (count(name) > 1) fail(file_, "line 1 names '" + printable(name) + "' twice");
    return static_cast<std::size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
  }
  [[noreturn]] void fail_missing(std::string_view name) const {
    std::string have;
    for (const auto n : names_) have += (have.empty() ? "'" : ", '") + printable(n.substr(0, 100)) + "'";
    fail(file_, "line 1 must name the columns, and '" + printable(name) + "' is not among " + have);
  }

  const std::filesystem::path& file_;
  std::vector<std::string_view> names_;
  std::size_t text_ = 0, label_ = 0;
};

std::vector<LabelledText> read_table(const std::filesystem::path& file, std::string_view content,
                                     const SentenceOptions& options) {
  const auto lines = std::count(content.begin(), content.end(), '\n');
  std::vector<LabelledText> rows;
  rows.reserve(static_cast<std::size_t>(lines));
  std::optional<Columns> columns;
  std::int64_t blank = 0;  // allowed at the end only
  for_each_line(content, [&](std::string_view line, std::int64_t number) {
    if (!columns) {
      columns.emplace(file, line, options);
      return;
    }
    if (line.empty()) {
      if (blank == 0) blank = number;
      return;
    }
    if (blank != 0) fail(file, at_line(blank) + "is empty");
    const auto cells = split(line);
    if (cells.size() != columns->size())
      fail(file,
           at_line(number) + "has " + std::to_string(cells.size()) + " columns, line 1 names " + std::to_string(columns->size()));
    const std::string_view cell = cells[columns->label()];
    std::int64_t label = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), label);
    if (error != std::errc() || end != cell.data() + cell.size() || cell.empty())
      fail(file, at_line(number) + "has the label '" + printable(cell.substr(0, 100)) + "', which is no integer");
    check_label(file, number, label, options);
    rows.push_back({std::string(cells[columns->text()]), static_cast<std::int32_t>(label), number});
  });
  if (!columns) fail(file, "is empty");
  return rows;
}

const std::string& text_of(const std::filesystem::path& file, const Json& record, std::int64_t line, std::string_view field) {
  const auto it = record.find(field);
  if (it == record.end()) fail(file, at_line(line) + "has no '" + printable(field) + "'");
  if (!it->is_string()) fail(file, at_line(line) + "has a '" + printable(field) + "' that is no text");
  return it->get_ref<const std::string&>();
}

/// Calls `visit(record, line)` for each line that is not blank.
void for_each_record(const std::filesystem::path& file, std::string_view content,
                     const std::function<void(const Json&, std::int64_t)>& visit) {
  for_each_line(content, [&](std::string_view line, std::int64_t number) {
    if (line.find_first_not_of(" \t") == line.npos) return;
    const Json record = parse_json(line, file.string() + ": line " + std::to_string(number));
    if (!record.is_object()) fail(file, at_line(number) + "is no JSON object");
    visit(record, number);
  });
}

std::vector<LabelledText> read_records(const std::filesystem::path& file, std::string_view content,
                                       const SentenceOptions& options) {
  std::vector<LabelledText> rows;
  for_each_record(file, content, [&](const Json& record, std::int64_t line) {
    std::string_view field = options.text_field;
    if (field.empty()) {
      const auto known =
          std::find_if(text_fields.begin(), text_fields.end(), [&](std::string_view name) { return record.contains(name); });
      field = known == text_fields.end() ? text_fields.front() : *known;
    }
    const std::string& text = text_of(file, record, line, field);
    const std::string name = label_field(options);
    const auto label = record.find(name);
    if (label == record.end()) fail(file, at_line(line) + "has no '" + printable(name) + "'");
    if (!label->is_number_integer()) fail(file, at_line(line) + "has a '" + printable(name) + "' that is no integer");
    const bool huge = label->is_number_unsigned() && label->get<std::uint64_t>() > INT64_MAX;
    check_label(file, line, huge ? INT64_MAX : label->get<std::int64_t>(), options);
    rows.push_back({text, label->get<std::int32_t>(), line});
  });
  return rows;
}

// What Python's str.strip() takes for white space, since that decides which rows of the guide are blank.
bool is_blank(std::string_view line) {
  static constexpr std::array<std::string_view, 19> wide{"\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                                         "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200A",
                                                         "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};
  while (!line.empty()) {
    const auto byte = static_cast<unsigned char>(line[0]);
    if (byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31)) {
      line.remove_prefix(1);
      continue;
    }
    const auto space = std::find_if(wide.begin(), wide.end(), [&](std::string_view s) { return line.starts_with(s); });
    if (space == wide.end()) return false;
    line.remove_prefix(space->size());
  }
  return true;
}

// The rows of `wikitext-2-raw-v1`: each line with its own line end, blank ones empty.
std::string join_rows(std::string_view content) {
  std::string text;
  text.reserve(content.size() + content.size() / 32);
  for (bool first = true; !content.empty(); first = false) {
    const auto end = std::min(content.find('\n'), content.size() - 1) + 1;
    const std::string_view row = content.substr(0, end);
    content.remove_prefix(end);
    if (!first) text += "\n\n";
    if (!is_blank(row)) text += row;
  }
  return text;
}

}  // namespace

void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::input, printable(file.string()) + ": " + what);
}

bool is_jsonl(const std::filesystem::path& file) { return file.extension() == ".jsonl" || file.extension() == ".ndjson"; }

std::vector<LabelledText> read_labelled(const std::filesystem::path& file, std::string_view content,
                                        const SentenceOptions& options) {
  check_utf8(file, content);
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);  // spreadsheets begin files so
  auto rows = is_jsonl(file) ? read_records(file, content, options) : read_table(file, content, options);
  if (rows.empty()) fail(file, "holds no sentence");
  return rows;
}

std::string joined_text(const std::filesystem::path& file, std::string content, const TextOptions& options) {
  check_utf8(file, content);
  if (!is_jsonl(file)) return options.join == Join::raw ? content : join_rows(content);
  std::string text;
  for_each_record(file, content, [&, first = true](const Json& record, std::int64_t line) mutable {
    if (!std::exchange(first, false)) text += "\n\n";
    text += text_of(file, record, line, options.text_field.empty() ? "text" : options.text_field);
  });
  return text;
}

}  // namespace eaq::dataset
