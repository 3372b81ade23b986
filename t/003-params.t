#!/usr/bin/perl
# t/003-params.t - parameters: what the code asks for is declared with that type; each is declared once, sorted, documented, with a default that
# its own type accepts; and gatepost config knows it.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die "$top: $!";

sub slurp {
    open my $f, '<', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$f>;
}

# ---- the rows ----
my $text = qr/"((?:[^"\\]|\\.)*)"/;
my (%declared, @twice, @unsorted, @bare);
for my $file (sort glob 'lib/conf/params_*.c') {
    my $source = slurp($file) =~ s/$text\s+(?=")/substr($&, 0, rindex($&, '"')) . "\x01"/ger =~ s/\x01"//gr; # one string a text
    my $last = '';
    while ($source =~ /\{ $text, PARAM_(\w+),\s*($text|[A-Z_]+)\s*,\s*([^,]+),\s*([^,]+),\s*$text,\s*$text\s*\}/g) {
        my ($name, $type, $default, $unit, $doc) = ($1, $2, $4 // '', $7, $8);
        push @twice, "$file: $name" if $declared{$name};
        push @unsorted, "$file: $name after $last" if $name le $last;
        push @bare, "$file: $name: \"$doc\"" if length $doc < 5 || length $doc > 130;
        $declared{$name} = { type => $type, default => $default, unit => $unit, file => $file };
        $last = $name;
    }
    my $rows = () = $source =~ /PARAM_(?:STR|RAW|INT|SIZE|TIME|BOOL)\b/g;
    my $understood = grep { $_->{file} eq $file } values %declared;
    is $understood, $rows, "$file: every row is read by this test";
}
cmp_ok scalar keys %declared, '>', 300, 'parameters';
is "@twice", '', 'each is declared once';
is "@unsorted", '', 'in order of name';
is join("\n", @bare), '', 'each has a line of documentation';

my %form = (INT => qr/^-?\d+$/, SIZE => qr/^\d+[kmg]?$/i, TIME => qr/^\d+[smhdw]?$/i, BOOL => qr/^(yes|no)$/);
my @odd = grep {
    my $p = $declared{$_};
    my $form = $form{ $p->{type} };
    $form && $p->{default} !~ /\$/ && $p->{default} !~ $form;
} sort keys %declared;
is "@odd", '', 'defaults are values of their type';

# ---- the code ----
my %types = (
    conf_str => [qw(STR RAW)], conf_int => [qw(INT SIZE)], conf_size => [qw(INT SIZE)], conf_time_ms => ['TIME'], conf_bool => ['BOOL'],
    V_STR => ['STR'], V_RAW => ['RAW'], V_INT => [qw(INT SIZE)], V_SIZE => [qw(INT SIZE)], V_TIME => ['TIME'], V_BOOL => ['BOOL'],
);
my (@files, @unknown, @wrong, $asked);
find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.c\z/ && !m{^lib/conf/} } }, qw(lib mta policyd milters));
for my $file (sort @files) {
    my $source = slurp($file);
    my @asked;
    push @asked, [$1, $2] while $source =~ /\b(conf_(?:str|int|size|time_ms|bool))\([^()"]*(?:\([^()"]*\))?[^()"]*,\s*"(\w+)"\)/g;
    push @asked, [$2, $1] while $source =~ /\{ "(\w+)", (V_[A-Z]+),/g;
    for (@asked) {
        my ($how, $name) = @$_;
        $asked++;
        my $p = $declared{$name};
        push @unknown, "$file: $name" unless $p;
        push @wrong, "$file: $how of $name, which is $p->{type}" if $p && $types{$how} && !grep { $_ eq $p->{type} } @{ $types{$how} };
    }
}
cmp_ok $asked, '>', 300, 'places that ask for one';
is join("\n", @unknown), '', 'each is declared';
is join("\n", @wrong), '', 'and asked for by its type';

# ---- the program ----
SKIP: {
    my $gatepost = ($ENV{GATEPOST_BUILD} || "$top/build") . '/sbin/gatepost';
    skip "no $gatepost", 1 unless -x $gatepost;
    my $dir = tempdir('gatepost-params.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    open my $f, '>', "$dir/main.cf" or die $!;
    close $f;
    my %shown = map { /^(\w+) = ?/ ? ($1 => 1) : () } `'$gatepost' -c '$dir' config -d`;
    is join(' ', grep { !$shown{$_} } sort keys %declared), '', 'gatepost config -d shows them all';
}

done_testing;
