#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>

#include "data/contact_sheet.h"
#include "data/lower_case.h"
#include "data/natural_order.h"
#include "data/pack.h"
#include "tools/commands.h"
#include "tools/fuse_folder.h"
#include "tools/fuser.h"
#include "tools/option_values.h"
#include "tools/progress.h"

namespace cytograd {
namespace {

namespace fs = std::filesystem;

/// The first and the last site of each cell type, else the first few; all of the first one's size.
std::vector<Image> preview_sites(const Dataset& dataset, const ReadOptions& read) {
  constexpr size_t kRows = 8;
  std::map<std::string, std::pair<size_t, size_t>, NaturalLess> chosen;
  const auto column = dataset.column("cell_type");
  for (size_t i = 0; i < dataset.samples.size(); ++i) {
    if (!column && i == kRows) break;
    const auto [entry, is_new] =
        chosen.try_emplace(column ? dataset.samples[i].values[*column] : dataset.samples[i].name, i, i);
    if (!is_new) entry->second.second = i;
  }
  std::vector<Image> sites;
  const auto add = [&](size_t i) {
    if (sites.size() == kRows) return;
    try {
      Image image = read_sample(dataset.samples[i], read);
      const bool fits = sites.empty() || (image.height == sites[0].height && image.width == sites[0].width &&
                                          image.channels == sites[0].channels);
      if (fits) sites.push_back(std::move(image));
    } catch (const UnskippableError&) {
      throw;
    } catch (const Error& error) {
      say(fmt::format("unreadable, not shown: {}", error.what()));
    }
  };
  for (const auto& [name, ends] : chosen) {
    add(ends.first);
    if (ends.second != ends.first) add(ends.second);
  }
  return sites;
}

/// Neither may the pictures fall among those they are made of, nor a labels.csv beside a dataset's own CSVs.
void require_apart(const fs::path& out, const fs::path& data) {
  if (!is_within(out, data) && !is_within(data, out / "images")) return;
  fail("--out {} lies in --data {}, or around it; name a folder of its own", out.string(), data.string());
}

/// Nor may the preview fall among images that are read or made, where it would replace one or count as one.
void require_preview_apart(const FuseSettings& settings) {
  const std::string& preview = settings.preview;
  if (is_within(preview, settings.data))
    fail("--preview {} lies in --data {}; name a file elsewhere", preview, settings.data);
  if (!settings.out.empty() && is_within(preview, FuseFolder(settings.out).images()))
    fail("--preview {} lies among the pictures of --out {}; name a file elsewhere", preview, settings.out);
  std::error_code ignored;
  if (is_pack(fs::weakly_canonical(fs::absolute(preview), ignored).parent_path()))
    fail("--preview {} lies in the folder of a pack; name a file elsewhere", preview);
}

Image draw_sheet(const Dataset& dataset, const std::vector<Image>& sites,
                 const ContactSheetOptions& options) {
  try {
    return contact_sheet(sites, options);
  } catch (const Error& error) {
    fail("{}: {}", dataset.root.string(), error.what());
  }
}

void draw_preview(const FuseSettings& settings, const Dataset& dataset) {
  require_no_input(settings.preview, dataset);
  const std::vector<Image> sites = preview_sites(dataset, settings.read());
  if (sites.empty()) fail("{}: no image can be read", dataset.root.string());
  ContactSheetOptions options;
  if (!settings.colormap.empty()) {
    options.colormap = read_colormap(settings.colormap);
  } else if (sites.front().channels == Colormap::rxrx1().channels()) {
    options.colormap = Colormap::rxrx1();
  }
  write_png(settings.preview, draw_sheet(dataset, sites, options));
}

void fuse(FuseSettings settings) {
  if (!settings.preview.empty()) require_preview_apart(settings);
  if (!settings.out.empty()) {
    require_apart(settings.out, settings.data);
    FuseFolder(settings.out).require_own(settings.preview);
  }
  LoadedData data;
  data.dataset = open_filtered(settings.data, settings.where);
  settings.white = resolve_white(data.dataset, settings.white);
  if (!settings.sites.empty()) keep_where(data.dataset, "site", settings.sites);
  data.max_missing = settings.max_missing;
  check_missing(data.dataset, settings.max_missing);
  report_missing(data.dataset);
  warn_of_dim_images(data.dataset, settings.white);
  if (!settings.preview.empty()) draw_preview(settings, data.dataset);
  if (settings.out.empty()) return;
  fuse_images(settings, data);
}

/// Throws where an option would be ignored.
void require_used(const CLI::App& command, const FuseSettings& settings) {
  const auto is_unused = [&](const char* option, const char* unless) {
    throw CLI::ValidationError(option,
                               fmt::format("has no meaning with --method {}{}", settings.method, unless));
  };
  for (const char* option : {"--pca-scope", "--pca-range"}) {
    if (settings.method != "pca" && command.count(option) > 0) is_unused(option, "");
  }
  if (settings.method != "colormap" && !settings.colormap.empty() && settings.preview.empty())
    is_unused("--colormap", " and without --preview");
}

/// Of texts such as "1,2". CLI11, given the delimiter, would pass over what is empty.
std::vector<std::string> split_sites(const std::vector<std::string>& given) {
  std::vector<std::string> sites;
  for (const std::string& text : given) {
    for (size_t start = 0; start <= text.size();) {
      const size_t end = std::min(text.find(',', start), text.size());
      if (end == start)
        throw CLI::ValidationError("--sites", fmt::format("{} has an empty part", in_quotes(text)));
      sites.push_back(text.substr(start, end - start));
      start = end + 1;
    }
  }
  return sites;
}

std::string check_png_name(const std::string& text) {
  return to_lower(fs::path(text).extension().string()) == ".png"
             ? ""
             : fmt::format("{} does not end in .png", in_quotes(text));
}

}  // namespace

void add_fuse(CLI::App& app) {
  auto settings = std::make_shared<FuseSettings>();
  CLI::App* command = app.add_subcommand("fuse", "Fuse the channels to RGB pictures with a labels.csv");
  command->option_defaults()->always_capture_default();
  take_path(command->add_option("--data", settings->data, "Folder of images"), "DIR")->required();
  take_path(command->add_option("--out", settings->out, "Folder to make, or to go on with"), "DIR");
  take_choice(
      command->add_option("--method", settings->method, "Colours by channel, or principal components"),
      {"colormap", "pca"});
  take_path(command->add_option("--colormap", settings->colormap,
                                "CSV of channel,colour,low,high; default: the RxRx1 utilities' six channels"),
            "FILE");
  take_choice(command->add_option("--pca-scope", settings->pca_scope, "What shares its components"),
              {"image", "plate", "experiment", "group", "dataset"});
  take_choice(
      command->add_option("--pca-range", settings->pca_range,
                          "What is black and full colour: the 0.5 and 99.5 percentiles of the scope, or 3 "
                          "standard deviations from its mean"),
      {"percentile", "deviations"});
  command->add_option("--sites", settings->sites, "Sites of a well to take, such as 1; default: all")
      ->type_name("N[,N]")
      ->take_all()
      ->default_str("");
  take_path(command->add_option(
                "--preview", settings->preview,
                "Contact sheet of two sites of each cell type: channels, colormap, components of the "
                "site, components of all shown"),
            "FILE.png")
      ->check(CLI::Validator(check_png_name, ""));
  add_where(*command, settings->where);
  add_max_missing(*command, settings->max_missing);
  add_white(*command, settings->white);
  take_whole(command->add_option("--workers", settings->workers, "Threads"), 1, 256);
  command->footer(
      "Stopped and run again, it goes on with the pictures that are not there yet. docs/fusion.md has the "
      "formulas.\n"
      "Example: cytograd fuse --data rxrx1 --method pca --pca-scope plate --sites 1 --out rgb --preview "
      "rgb.png");
  command->callback([settings, command] {
    if (settings->out.empty() && settings->preview.empty()) throw CLI::RequiredError("--out");
    require_used(*command, *settings);
    settings->sites = split_sites(settings->sites);
    fuse(*settings);
  });
}

}  // namespace cytograd
