// How --help looks: --epochs N [30], descriptions in one column, options in lines of at most 100 characters.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cytograd {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();

  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace cytograd
