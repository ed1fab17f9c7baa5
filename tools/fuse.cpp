#include <cstdio>
#include <map>

#include "data/contact_sheet.h"
#include "data/natural_order.h"
#include "tools/commands.h"
#include "tools/fuser.h"
#include "tools/option_values.h"

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

/// Neither may the pictures fall among those they are made of, nor a labels.csv beside a dataset's own tables.
void require_apart(const fs::path& out, const fs::path& data) {
  if (!is_within(out, data) && !is_within(data, out / "images")) return;
  fail("--out {} lies in --data {}, or around it; name a folder of its own", out.string(), data.string());
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
  write_png(settings.preview, contact_sheet(sites, options));
}

void fuse(FuseSettings settings) {
  if (!settings.out.empty()) require_apart(settings.out, settings.data);
  LoadedData data;
  data.dataset = open_filtered(settings.data, settings.where);
  settings.white = resolve_white(data.dataset, settings.white);
  if (!settings.sites.empty()) keep_where(data.dataset, "site", settings.sites);
  data.max_missing = settings.max_missing;
  check_missing(data.dataset, settings.max_missing);
  report_missing(data.dataset);
  if (!settings.preview.empty()) draw_preview(settings, data.dataset);
  if (settings.out.empty()) return;
  fuse_images(settings, data);
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
      ->delimiter(',')
      ->take_all()
      ->default_str("");
  take_path(command->add_option(
                "--preview", settings->preview,
                "Contact sheet of two sites of each cell type: channels, colormap, components of the "
                "site, components of all shown"),
            "FILE.png");
  add_where(*command, settings->where);
  add_max_missing(*command, settings->max_missing);
  add_white(*command, settings->white);
  take_whole(command->add_option("--workers", settings->workers, "Threads"), 1, 256);
  command->footer(
      "Stopped and run again, it goes on with the pictures that are not there yet. docs/fusion.md has the "
      "formulas.\n"
      "Example: cytograd fuse --data rxrx1 --method pca --pca-scope plate --sites 1 --out rgb --preview "
      "rgb.png");
  command->callback([settings] {
    if (settings->out.empty() && settings->preview.empty()) throw CLI::RequiredError("--out");
    fuse(*settings);
  });
}

}  // namespace cytograd
