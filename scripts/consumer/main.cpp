// A program that uses an installed eaq: it lists the formats that this build knows.
#include <eaq/format/format.h>
#include <eaq/tensor/tensor.h>

#include <iostream>

int main() {
  const eaq::Tensor weight(eaq::DType::bf16, {768, 3072});
  for (const auto& row : eaq::formats())
    if (row.entry != nullptr)
      std::cout << row.name << ": " << row.entry->stored_bytes(768, 3072) << " of " << weight.buffer.size() << " bytes\n";
}
